"""Many runs at once: which, how long they take, and their processes."""
