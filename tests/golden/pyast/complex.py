0j
1j
1.5J
1e999j
1 + 2j
-0j
