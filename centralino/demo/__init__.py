"""`centralino demo`: what people do with the help desk, played with real parts on one machine."""
