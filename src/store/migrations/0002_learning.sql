-- When a source last gave a good answer, a 304 included.
ALTER TABLE source ADD COLUMN answered_at BIGINT;

-- Lines that articles of one host share, by hash: the first three articles that had them. With the third a line is the
-- site's and not the article's.
CREATE TABLE boilerplate (
  host TEXT NOT NULL,
  hash TEXT NOT NULL,
  one BIGINT NOT NULL,
  two BIGINT,
  three BIGINT,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (host, hash)
);
CREATE INDEX boilerplate_known ON boilerplate (host) WHERE three IS NOT NULL;
CREATE INDEX boilerplate_open ON boilerplate (seen_at) WHERE three IS NULL;

-- The picture, by which one story under two headlines is noticed.
ALTER TABLE article ADD COLUMN image_hash TEXT;
CREATE INDEX article_image ON article (image_hash, first_seen_at) WHERE image_hash IS NOT NULL;
