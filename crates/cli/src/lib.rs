//! The commands lifeboat-export, lifeboat-import, lifeboat-inspect and lifeboat-demo.
