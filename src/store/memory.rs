//! Memory: keeps, outside the database, which intents this node saw committed.
//!
//! A database that was replaced by an older state of itself can't tell. A node can: the entry of an intent to send is
//! not there any more. The newest one of each account is enough, because an account sends one thing at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use serde::Deserialize;
use serde::Serialize;

/// An audit entry as it is remembered. Its moment tells it from another one that got its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Its number.
    pub(crate) id: i64,
    /// Its time, in microseconds.
    pub(crate) at: i64,
}

/// The intents that this node saw committed.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Kept,
    file: Option<File>,
    changed: bool,
}

/// What the file holds, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// The id of the database.
    database: String,
    /// The newest intent of each account.
    seen: BTreeMap<String, Mark>,
}

impl Memory {
    /// Keeps the memory in a file from now on, and takes up what an earlier start left in it.
    ///
    /// # Errors
    /// Why the file can't be opened or read; the memory then ends with the process.
    pub fn keep_in(&self, path: &Path) -> io::Result<()> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let mut state = self.state();
        // A file that a power cut left empty or torn says nothing; what a shorter one left behind is not read.
        if let Some(Ok(kept)) = serde_json::Deserializer::from_slice(&bytes).into_iter::<Kept>().next() {
            state.kept = kept;
        }
        state.file = Some(file);
        Ok(())
    }

    /// Writes the file, if there is one and something is new. Without a sync: it guards against a database that went
    /// back while this machine did not.
    ///
    /// # Errors
    /// Why it can't be written.
    pub fn save(&self) -> io::Result<()> {
        let mut state = self.state();
        let (true, Some(file)) = (state.changed, &state.file) else { return Ok(()) };
        let bytes = serde_json::to_vec(&state.kept)?;
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
        state.changed = false;
        Ok(())
    }

    /// Says which database this is; what is remembered of another one is forgotten.
    pub(crate) fn belongs_to(&self, database: &str) {
        let mut state = self.state();
        if state.kept.database != database {
            state.kept = Kept { database: database.to_owned(), seen: BTreeMap::new() };
            state.changed = true;
        }
    }

    /// Remembers entries that were committed.
    pub(crate) fn note(&self, marks: impl IntoIterator<Item = (String, Mark)>) {
        let mut state = self.state();
        for (account, mark) in marks {
            state.kept.seen.insert(account, mark);
            state.changed = true;
        }
    }

    /// The newest intent on an account.
    pub(crate) fn newest(&self, account: &str) -> Option<Mark> {
        self.state().kept.seen.get(account).copied()
    }

    /// All that is remembered.
    pub(crate) fn all(&self) -> Vec<Mark> {
        self.state().kept.seen.values().copied().collect()
    }

    /// Forgets entries that the database lost, once that is known.
    pub(crate) fn forget(&self, lost: &[Mark]) {
        if !lost.is_empty() {
            let mut state = self.state();
            state.kept.seen.retain(|_, mark| !lost.contains(mark));
            state.changed = true;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_outlives_the_process_and_belongs_to_one_database() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.memory");
        let memory = Memory::default();
        memory.keep_in(&path).unwrap();
        memory.belongs_to("one");
        memory.note([("page".to_owned(), Mark { id: 7, at: 70 }), ("x".to_owned(), Mark { id: 8, at: 80 })]);
        memory.save().unwrap();
        memory.forget(&[Mark { id: 8, at: 80 }]);
        memory.save().unwrap();

        let next = Memory::default();
        next.keep_in(&path).unwrap();
        next.belongs_to("one");
        assert_eq!(next.newest("page"), Some(Mark { id: 7, at: 70 }));
        assert_eq!(next.all().len(), 1);
        next.belongs_to("another");
        assert_eq!(next.all(), []);
    }

    #[test]
    fn a_torn_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.memory");
        for torn in ["", "\0\0\0", r#"{"database":"one","se"#] {
            std::fs::write(&path, torn).unwrap();
            let memory = Memory::default();
            memory.keep_in(&path).unwrap();
            assert_eq!(memory.all(), [], "{torn:?}");
        }
    }
}
