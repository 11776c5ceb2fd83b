"""The job database: SQLite through SQLAlchemy Core. ``writer`` writes, ``reader`` asks, ``migrate`` prepares."""
