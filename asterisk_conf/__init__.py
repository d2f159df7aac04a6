"""What Asterisk needs: configuration templates, the dialplan with its fallback, and the prompts."""
