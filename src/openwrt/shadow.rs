//! `/etc/shadow`: the password field of root.
