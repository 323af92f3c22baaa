"""Values as pages, pictures and texts for people.  Values in, text out: reads nothing, prints nothing."""
