CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);
INSERT INTO notes (text) SELECT item FROM orders;
UPDATE orders SET item = upper(item) WHERE id < 3;
