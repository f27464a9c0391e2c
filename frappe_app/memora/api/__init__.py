"""What a browser may call. ``README.md`` beside this file says how."""
