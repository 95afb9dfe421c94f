"""The simulator: the real protocol code on a world in memory, under thousands of schedules of everything that goes wrong.

    schedule.py    what happens in one schedule: the producer's actions and the disturbances; drawn from a seed
    engine.py      actors that run one at a time, a clock turned by hand, disturbances at every call of a port
    ports.py       the ports as one actor has them: each call a step of the engine
    guards.py      adapters without one of the guards that the promise rests on
    checked_tables.py  tables whose every new state is held against the truth
    world.py       the deployment: sensor ticks, runs, sweeps, operators, until all is at rest
    producer.py    what is put into the landing bucket and deleted from it, and the messages that tell of it
    reading.py     the bytes of simulated files, and the reader that judges them
    truth.py       what must hold at every commit and at rest, from a dictionary of what was put
    story.py       what an actor did, in words
    running.py     one schedule, from beginning to rest
    shrinking.py   from a schedule that breaks something to the shortest that still does
    campaign.py    many schedules on many processes

Nothing here is switched in the product: it takes its ports, threads, pauses and clock from outside anyway.
"""
