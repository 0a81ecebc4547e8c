-- Editors' own messages. `wish` is what the editor wrote, in its one stored form (JSON).
CREATE TABLE promotion (
  id {identity},
  name TEXT NOT NULL UNIQUE,
  wish TEXT NOT NULL,
  link TEXT,
  -- The zone that `next_at` was reckoned in.
  zone TEXT NOT NULL,
  -- Every moment planned up to here is decided.
  passed_at BIGINT NOT NULL,
  -- The next planned moment; NULL: stopped, or none comes any more.
  next_at BIGINT,
  -- Why the last planned moment went by without a post, and what kind of reason that is; NULL: it fired.
  skip TEXT,
  skip_kind TEXT,
  stopped_at BIGINT,
  stopped_by TEXT,
  stop_reason TEXT,
  -- The hash over the bytes of every wording on every account that a person approved.
  approved_hash TEXT,
  approved_by TEXT,
  made_at BIGINT NOT NULL,
  made_by TEXT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX promotion_due ON promotion (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX promotion_link ON promotion (link) WHERE link IS NOT NULL;

-- A planned moment fires once, on one node: whoever inserts its row. Caps and distance count from `counted_at`.
CREATE TABLE promotion_firing (
  promotion BIGINT NOT NULL REFERENCES promotion (id),
  planned_at BIGINT NOT NULL,
  counted_at BIGINT NOT NULL,
  wording BIGINT NOT NULL,
  PRIMARY KEY (promotion, planned_at)
);
CREATE INDEX promotion_fired ON promotion_firing (promotion, counted_at);

-- Entries about none of these, by which a promotion's own are found.
CREATE INDEX audit_other ON audit (id) WHERE article IS NULL AND post IS NULL AND account IS NULL;
