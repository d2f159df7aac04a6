"""How figures are shown, and what machine they are of."""

import os
import platform
import subprocess
from pathlib import Path

from centralino.rig.asterisk import find_asterisk


def machine() -> dict[str, str]:
    """What the figures depend on: processors, load before, system and versions."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    version = subprocess.run([find_asterisk(), "-V"], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
    return {
        "processor": f"{os.cpu_count()} x {model}",
        "load": f"load average before {os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"Python {platform.python_version()}",
        "asterisk": version,
    }


def ms(value: float | None) -> str:
    """Milliseconds, or a dash for none."""
    return "-" if value is None else f"{value:.1f}"


def ratio(value: float | None, base: float | None, most: float) -> str:
    """How many times the base it is: green up to `most`, red above; a dash where one is missing."""
    if value is None or not base:
        return "-"
    return verdict(value / base <= most, f"{value / base:.2f}")


def verdict(good: bool, text: str) -> str:
    """The text in green or red."""
    return f"[{'green' if good else 'red'}]{text}[/]"
