//! The terminal: progress, tables, JSON lines.
