//! What a Databricks workspace is made of: one file per kind of object.
