CREATE TABLE customers_new (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO customers_new SELECT id, name FROM customers;
DROP TABLE customers;
ALTER TABLE customers_new RENAME TO customers;
DELETE FROM orders WHERE item = 'pen';
DROP TABLE "odd ""name";
