rf'{a:\x41}'
