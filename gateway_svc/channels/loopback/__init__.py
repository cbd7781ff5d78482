"""A channel that pays every order by itself: for measurements."""
