"""What crosses slices. The only room that knows several of them."""
