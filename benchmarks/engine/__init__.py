"""What the oven bakes, side by side with how else people do it."""
