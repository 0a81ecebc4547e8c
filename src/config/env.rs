//! Env: what a configuration asks its surroundings; a parameter, for tests.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The surroundings of the process.
pub trait Env {
    /// An environment variable.
    fn var(&self, name: &str) -> Option<OsString>;

    /// The name of this machine; `None` where there is no way to learn it.
    fn host_name(&self) -> Option<String> {
        None
    }
}

/// The real surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Env for Process {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn host_name(&self) -> Option<String> {
        // Linux tells it in these two files; elsewhere a login shell exports it, mostly.
        let file = ["/proc/sys/kernel/hostname", "/etc/hostname"];
        let name = file.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let name = name.or_else(|| self.var("HOSTNAME")?.into_string().ok())?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }
}

/// Surroundings made of variables alone, for tests and for programs that bring their own.
impl Env for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}
