"""What a user calls and an author implements: `Backend`, the validation of its arguments, and how one is found."""
