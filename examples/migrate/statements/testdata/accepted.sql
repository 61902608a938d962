-- Orders get a note; what is written of it is kept apart. (This comment says DROP TABLE orders; and means nothing.)
ALTER TABLE orders ADD COLUMN note TEXT NOT NULL DEFAULT 'none; yet';

CREATE TABLE "drop table" (id INTEGER PRIMARY KEY, [delete from] TEXT, `update` TEXT);

CREATE TRIGGER orders_noted AFTER UPDATE OF note ON orders
BEGIN
	INSERT INTO "drop table" ([delete from], `update`) VALUES (OLD.note, CASE WHEN NEW.note = '' THEN 'it''s; gone' ELSE NEW.note END);
	UPDATE orders SET note = trim(NEW.note) WHERE id = NEW.id;
END;

/* DELETE FROM orders; */
INSERT INTO orders (id, item, note) VALUES (4, 'lamp', 'DROP TABLE orders;');
UPDATE orders SET note = 'gift' WHERE item = 'book';
WITH cheap AS (SELECT id FROM orders WHERE id < 2) DELETE FROM "drop table" WHERE id IN cheap;
PRAGMA user_version = 2
-- the end
