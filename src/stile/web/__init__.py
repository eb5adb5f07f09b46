"""The web UI: pages rendered by the server, readable and decidable without JavaScript; assets; charts."""
