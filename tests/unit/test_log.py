"""What the service and the libraries that it uses write into the log."""

import json
import subprocess
import sys

WRITES = """
import logging
import structlog
from centralino import log
log.configure()
structlog.get_logger().info("page opened", call="6f1c")
logging.getLogger("apscheduler.scheduler").warning("skipped: %s", "too late")
caller = "+390805551234"
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("uvicorn.error").exception("it failed")
"""


def test_every_line_is_json_also_of_a_library() -> None:
    written = subprocess.run([sys.executable, "-c", WRITES], capture_output=True, text=True, check=True).stderr
    ours, late, failed = map(json.loads, written.splitlines())
    assert (ours["event"], ours["level"], ours["call"]) == ("page opened", "info", "6f1c")
    assert (late["event"], late["level"], late["logger"]) == ("skipped: too late", "warning", "apscheduler.scheduler")
    assert failed["level"] == "error"
    assert "ZeroDivisionError" in json.dumps(failed)
    assert "0805551234" not in written
