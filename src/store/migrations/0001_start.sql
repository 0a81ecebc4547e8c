-- Times are microseconds since 1970 (UTC); truth values 0 or 1; lists and records JSON text.

CREATE TABLE node (
  name TEXT PRIMARY KEY,
  boot TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  stopped_at BIGINT
);

-- One at a time, across nodes: sealing, firing, pruning.
CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  until_at BIGINT NOT NULL
);

CREATE TABLE source (
  name TEXT PRIMARY KEY,
  etag TEXT,
  last_modified TEXT,
  body_hash TEXT,
  first_read_at BIGINT,
  full_read_at BIGINT,
  polled_at BIGINT,
  next_poll_at BIGINT NOT NULL,
  result TEXT,
  error TEXT,
  errors BIGINT NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_until BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX source_due ON source (next_poll_at);

CREATE TABLE article (
  id {identity},
  sources TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('seen', 'settling', 'summarized', 'composed')),
  reason TEXT,
  review TEXT NOT NULL DEFAULT '[]',
  page TEXT NOT NULL DEFAULT 'not_needed' CHECK (page IN ('not_needed', 'wanted', 'read', 'failed')),
  page_try_at BIGINT NOT NULL DEFAULT 0,
  version BIGINT NOT NULL,
  hash TEXT NOT NULL,
  title TEXT NOT NULL,
  title_hash TEXT NOT NULL,
  link TEXT,
  published_at BIGINT,
  first_seen_at BIGINT NOT NULL,
  changed_at BIGINT NOT NULL,
  settle_at BIGINT NOT NULL
);
CREATE INDEX article_settle ON article (settle_at) WHERE state = 'settling';
CREATE INDEX article_page ON article (page_try_at) WHERE page = 'wanted';
CREATE INDEX article_summarized ON article (id) WHERE state = 'summarized';
CREATE INDEX article_title ON article (title_hash, first_seen_at);
CREATE INDEX article_seen ON article (first_seen_at);

CREATE TABLE alias (
  alias TEXT PRIMARY KEY,
  article BIGINT NOT NULL REFERENCES article (id)
);
CREATE INDEX alias_article ON alias (article);

CREATE TABLE version (
  article BIGINT NOT NULL REFERENCES article (id),
  number BIGINT NOT NULL,
  hash TEXT NOT NULL,
  content TEXT NOT NULL,
  source TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (article, number)
);

CREATE TABLE summary (
  article BIGINT NOT NULL REFERENCES article (id),
  version BIGINT NOT NULL,
  summary TEXT NOT NULL,
  writer TEXT NOT NULL,
  made_at BIGINT NOT NULL,
  PRIMARY KEY (article, version)
);

CREATE TABLE post (
  id {identity},
  account TEXT NOT NULL,
  platform TEXT NOT NULL,
  origin TEXT NOT NULL,
  occasion TEXT NOT NULL,
  article BIGINT REFERENCES article (id),
  version BIGINT,
  route TEXT,
  lane TEXT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('draft', 'review', 'approved', 'rejected')),
  reasons TEXT NOT NULL,
  revision BIGINT NOT NULL DEFAULT 1,
  body TEXT NOT NULL,
  hash TEXT NOT NULL,
  text TEXT NOT NULL,
  link TEXT,
  template TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  good_for BIGINT NOT NULL,
  approved_by TEXT,
  approved_hash TEXT,
  enqueued BIGINT NOT NULL DEFAULT 0,
  made_at BIGINT NOT NULL,
  UNIQUE (account, origin, occasion)
);
CREATE INDEX post_approved ON post (id) WHERE state = 'approved' AND enqueued = 0;
CREATE INDEX post_undecided ON post (state) WHERE state <> 'approved';
CREATE INDEX post_article ON post (article);
CREATE INDEX post_origin ON post (origin);

-- The articles of a digest, in its order.
CREATE TABLE digest (
  post BIGINT NOT NULL REFERENCES post (id),
  place BIGINT NOT NULL,
  article BIGINT NOT NULL REFERENCES article (id),
  PRIMARY KEY (post, place)
);
CREATE INDEX digest_article ON digest (article);

-- Articles that a route has chosen: they wait for its next firing, and once it was they never wait again.
CREATE TABLE waiting (
  route TEXT NOT NULL,
  article BIGINT NOT NULL REFERENCES article (id),
  since BIGINT NOT NULL,
  fired_at BIGINT,
  PRIMARY KEY (route, article)
);
CREATE INDEX waiting_room ON waiting (route) WHERE fired_at IS NULL;

CREATE TABLE firing (
  origin TEXT NOT NULL,
  planned_at BIGINT NOT NULL,
  fired_at BIGINT NOT NULL,
  PRIMARY KEY (origin, planned_at)
);

CREATE TABLE delivery (
  id {identity},
  post BIGINT NOT NULL REFERENCES post (id),
  act TEXT NOT NULL,
  revision BIGINT NOT NULL,
  account TEXT NOT NULL,
  lane BIGINT NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('scheduled', 'sending', 'unconfirmed', 'delivered', 'failed',
                                       'parked', 'held', 'expired', 'cancelled')),
  due_at BIGINT NOT NULL,
  good_until BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  failures BIGINT NOT NULL DEFAULT 0,
  resends BIGINT NOT NULL DEFAULT 0,
  looks BIGINT NOT NULL DEFAULT 0,
  attempt_started_at BIGINT,
  unconfirmed_at BIGINT,
  retry_key TEXT,
  key_used_at BIGINT,
  fence BIGINT NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_boot TEXT,
  lease_until BIGINT NOT NULL DEFAULT 0,
  remote_id TEXT,
  permalink TEXT,
  reason TEXT,
  changed_at BIGINT NOT NULL,
  UNIQUE (post, act, revision)
);
CREATE INDEX delivery_due ON delivery (account, lane, due_at) WHERE state = 'scheduled';
CREATE INDEX delivery_next ON delivery (due_at) WHERE state = 'scheduled';
CREATE INDEX delivery_look ON delivery (due_at) WHERE state = 'unconfirmed';
CREATE INDEX delivery_state ON delivery (state, changed_at);
CREATE INDEX delivery_remote ON delivery (account, changed_at) WHERE remote_id IS NOT NULL;
-- One account sends one thing at a time, on however many nodes: the database itself says no to a second.
CREATE UNIQUE INDEX delivery_sending ON delivery (account) WHERE state = 'sending';

CREATE TABLE attempt (
  delivery BIGINT NOT NULL REFERENCES delivery (id),
  number BIGINT NOT NULL,
  node TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  finished_at BIGINT,
  hash TEXT NOT NULL,
  retry_key TEXT,
  outcome TEXT,
  status BIGINT,
  request_id TEXT,
  reason TEXT,
  PRIMARY KEY (delivery, number)
);

CREATE TABLE account (
  name TEXT PRIMARY KEY,
  platform TEXT NOT NULL,
  next_send_at BIGINT NOT NULL DEFAULT 0,
  failures BIGINT NOT NULL DEFAULT 0,
  pause TEXT CHECK (pause IN ('auth', 'quota', 'throttle', 'circuit')),
  pause_reason TEXT,
  paused_at BIGINT,
  pause_until BIGINT NOT NULL DEFAULT 0,
  probes BIGINT NOT NULL DEFAULT 0,
  clock_offset BIGINT NOT NULL DEFAULT 0,
  remote_user TEXT
);

CREATE TABLE hold (
  id {identity},
  lane TEXT,
  account TEXT,
  reason TEXT NOT NULL,
  set_by TEXT NOT NULL,
  set_at BIGINT NOT NULL,
  lifted_by TEXT,
  lifted_at BIGINT
);
CREATE INDEX hold_on ON hold (id) WHERE lifted_at IS NULL;

-- The audit log: appended to in the transaction of every change, never updated, never deleted from.
CREATE TABLE audit (
  id {identity},
  at BIGINT NOT NULL,
  action TEXT NOT NULL,
  article BIGINT,
  post BIGINT,
  delivery BIGINT,
  account TEXT,
  entry TEXT NOT NULL
);
CREATE INDEX audit_article ON audit (article) WHERE article IS NOT NULL;
CREATE INDEX audit_post ON audit (post) WHERE post IS NOT NULL;

-- Entries that wait for their place in the Merkle log.
CREATE TABLE unsealed (audit BIGINT PRIMARY KEY);

CREATE TABLE seal (
  seq BIGINT PRIMARY KEY,
  audit BIGINT NOT NULL UNIQUE,
  link TEXT NOT NULL
);

CREATE TABLE head (
  size BIGINT PRIMARY KEY,
  chain TEXT NOT NULL,
  note TEXT NOT NULL,
  signed_at BIGINT NOT NULL
);

-- `password` is an argon2id hash as a PHC string; NULL: signs in by links and tokens only.
CREATE TABLE "user" (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL CHECK (role IN ('viewer', 'editor', 'approver', 'admin')),
  password TEXT,
  made_at BIGINT NOT NULL
);

-- What proves a user: a page's cookie, an API token, a link that signs in once. Kept as SHA-256 alone.
CREATE TABLE session (
  hash TEXT PRIMARY KEY,
  user_name TEXT NOT NULL REFERENCES "user" (name),
  kind TEXT NOT NULL CHECK (kind IN ('page', 'token', 'link')),
  made_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  until_at BIGINT NOT NULL
);
CREATE INDEX session_of_user ON session (user_name);
