"""Ways for frames to travel. A transport owns its bytes and threads, and gives and takes whole frames."""
