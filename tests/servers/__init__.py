"""Real servers on loopback, started by the tests that talk to them and ended with them."""
