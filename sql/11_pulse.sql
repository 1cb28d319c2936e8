-- A row every half second: what makes restored timers fire and deadlines pass while nothing comes in.
CREATE TABLE pulse (
    beat BIGINT
) WITH (
    'connector' = 'datagen',
    'rows-per-second' = '2',
    'fields.beat.kind' = 'random'
);
