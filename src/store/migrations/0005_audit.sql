-- Hashes of the log's finished subtrees, every eighth level: with them a proof needs a few hundred rows, not all.
CREATE TABLE subtree (
  level BIGINT NOT NULL,
  number BIGINT NOT NULL,
  hash TEXT NOT NULL,
  PRIMARY KEY (level, number)
);

-- The public keys that signed heads; the one with the highest turn signs now.
CREATE TABLE signing_key (
  vkey TEXT PRIMARY KEY,
  turn BIGINT NOT NULL,
  since BIGINT NOT NULL
);

-- The state in which each archived part of the log ended; what lies before the newest is no longer here.
CREATE TABLE archive (
  size BIGINT PRIMARY KEY,
  chain TEXT NOT NULL,
  archived_at BIGINT NOT NULL
);

-- How far the heads sent to each place outside have come.
CREATE TABLE anchor (
  place TEXT PRIMARY KEY,
  size BIGINT NOT NULL DEFAULT 0,
  sent_at BIGINT,
  due_at BIGINT NOT NULL DEFAULT 0,
  failures BIGINT NOT NULL DEFAULT 0,
  error TEXT
);

-- The settings that each node ran with last, secrets as fingerprints.
CREATE TABLE setting (
  node TEXT PRIMARY KEY,
  settings TEXT NOT NULL
);

CREATE INDEX audit_at ON audit (at);
