-- Tokens got by `account connect` and `account import`. `access` and `refresh` are ciphertext in hex, bound to account
-- and column; what may be shown of them are the prints. `generation` grows with every pair that is stored, `fence` with
-- every renewal that is begun.
CREATE TABLE token (
  account TEXT PRIMARY KEY,
  generation BIGINT NOT NULL,
  origin TEXT NOT NULL CHECK (origin IN ('connected', 'imported')),
  state TEXT NOT NULL CHECK (state IN ('good', 'refreshing', 'lost')),
  access TEXT NOT NULL,
  refresh TEXT,
  access_print TEXT NOT NULL,
  refresh_print TEXT,
  scopes TEXT NOT NULL,
  got_at BIGINT NOT NULL,
  refreshed_at BIGINT,
  expires_at BIGINT,
  refresh_at BIGINT,
  refused BIGINT NOT NULL DEFAULT 0,
  proven BIGINT NOT NULL DEFAULT 0,
  presented BIGINT NOT NULL DEFAULT 0,
  failures BIGINT NOT NULL DEFAULT 0,
  reason TEXT,
  try_at BIGINT NOT NULL DEFAULT 0,
  changed_at BIGINT NOT NULL,
  fence BIGINT NOT NULL DEFAULT 0,
  lease_owner TEXT,
  lease_boot TEXT,
  lease_until BIGINT NOT NULL DEFAULT 0
);
