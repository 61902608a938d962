CREATE TABLE orders_new (id INTEGER PRIMARY KEY, item TEXT NOT NULL);
INSERT INTO orders_new SELECT id, item FROM orders;
DROP/* it is copied */TABLE orders;
ALTER TABLE orders_new RENAME TO orders;
