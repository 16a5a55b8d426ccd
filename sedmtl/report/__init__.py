"""What people look at: pictures, the page of a clip, the page of a project."""
