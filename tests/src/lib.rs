//! Whole-chain tests live in `tests/` beside this file; nothing depends on this package.
