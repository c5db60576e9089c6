"""What happens in the picture: objects that appear, enter and leave zones, stay in them and cross lines."""
