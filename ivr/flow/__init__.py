"""The way of a call, straight down: `inbound` is the story, `leg` the verbs, `ring`, `talk` and `message` its steps."""
