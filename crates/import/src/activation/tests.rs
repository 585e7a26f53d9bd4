//! Choice, plan and the bodies of calls, without a server.
