"""What the built-in scene is drawn with: figures, places, routes, and the picture they make."""
