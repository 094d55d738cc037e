"""Pages: server-rendered, Chinese first, usable without JavaScript, calm and legible for old people."""
