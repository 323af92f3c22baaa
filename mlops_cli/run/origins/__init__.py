"""Where tracked data comes from: each kind of source is a module, and all of them are asked the same two questions."""
