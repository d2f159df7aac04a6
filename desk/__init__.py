"""What agents and supervisors see: the web application, its JSON API and the live updates."""
