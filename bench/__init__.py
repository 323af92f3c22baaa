"""``mlops`` and its peers, timed side by side on the same generated work.  ``bench/run`` is the program."""
