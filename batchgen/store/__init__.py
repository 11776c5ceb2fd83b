"""The job table: SQLite through SQLAlchemy Core. ``writer`` writes, ``reader`` asks, ``migrate`` prepares."""
