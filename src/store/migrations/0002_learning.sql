-- When a source last gave a good answer, a 304 included.
ALTER TABLE source ADD COLUMN answered_at BIGINT;
