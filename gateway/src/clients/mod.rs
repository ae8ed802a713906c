//! Programs that are clients of a server: the load tool and the import.
//! Never sees the server's inside.

pub mod import_command;
pub mod load;
