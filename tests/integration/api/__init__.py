"""The web application against a real SQLite or PostgreSQL and a real Valkey."""
