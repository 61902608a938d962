CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL); -- DROP TABLE orders; would be something else
INSERT INTO notes (text) SELECT item FROM orders;
