-- What a person's session needs: a question ends, its answer is one table, times are UTC as in the records.
-- To watch instead: SET 'execution.runtime-mode' = 'streaming'; and SELECT … FROM agent_decisions
-- /*+ OPTIONS('scan.bounded.mode' = 'unbounded', 'scan.startup.mode' = 'latest-offset') */;
SET 'execution.runtime-mode' = 'batch';
SET 'sql-client.execution.result-mode' = 'tableau';
SET 'sql-client.display.print-time-cost' = 'false';
SET 'sql-client.display.max-column-width' = '120';
SET 'table.local-time-zone' = 'UTC';
-- A question that fails says so; the cluster's own strategy would try again for ever.
SET 'restart-strategy.type' = 'none';
-- A question must not hold up the jobs: one slot each.
SET 'parallelism.default' = '1';
SET 'pipeline.name' = 'question';
