//! Audit entry: who (or which step) did what to which, when, with the exact bytes.
