//! A simulated Databricks workspace over HTTP.
