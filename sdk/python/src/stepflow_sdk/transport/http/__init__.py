"""HTTP with server-sent events: sessions, streamed answers, plain answers."""
