//! REST client for a Databricks workspace: credentials, retry, rate limits, paging, errors.
