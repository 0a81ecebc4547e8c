-- What tells one database from another: an id that it keeps for life, and the server and timeline it was last seen on
-- (PostgreSQL alone), which change when a replica takes over or a copy is put up elsewhere.
CREATE TABLE identity (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  id TEXT NOT NULL,
  server TEXT
);

-- Stretches of time that the database forgot: it was restored from a copy, or a replica took over that lacked the
-- newest commits. What may have been sent in one is looked for before it is sent.
CREATE TABLE gap (
  id {identity},
  cause TEXT NOT NULL CHECK (cause IN ('restored', 'failover', 'forgotten', 'ordered')),
  since_at BIGINT NOT NULL,
  until_at BIGINT NOT NULL
);

-- The newest gap that a delivery was looked at for, or can't have been sent in.
ALTER TABLE delivery ADD COLUMN gap BIGINT NOT NULL DEFAULT 0;

-- Which process has the name: machine, its start, number, begin. A dead one's name is free at once.
ALTER TABLE node ADD COLUMN process TEXT;
