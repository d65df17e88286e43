/* A libnvidia-ml.so.1 without hardware: its GPUs draw a power that the test has chosen, so every joule is known.
 *
 * Power is piecewise constant in time, so that the energy up to any moment is a sum and one product. What programs are
 * shown of it is what a driver shows: a counter that refreshes now and then, and power averaged over a window. Time is
 * CLOCK_MONOTONIC, or stands still until `fake_nvml_set_time` moves it. All times are nanoseconds of that clock.
 *
 * The configuration is text, one setting a line, given to `fake_nvml_configure` or in the file that FAKE_NVML_CONFIG
 * names; `nvml.py` beside this file writes it and says what each setting means. Lines after `gpu` are of that GPU.
 * Signatures and structures follow nvml.h of CUDA 12 and 13; nothing here takes locks: one thread, or one at a time.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define SECOND 1000000000LL

enum { MOST_GPUS = 64, MOST_PIECES = 4096, MOST_INSTANCES = 7, MOST_PROCESSES = 16, MOST_FAULTS = 64, MOST_CALLS = 96 };

enum {
    OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7,
};

typedef int64_t Time;

typedef struct { char function[64]; int code; Time from, until; } Fault;
typedef struct { unsigned pid, sm; Time from, until; } Process;
typedef struct { char uuid[96]; unsigned gpu_instance, compute_instance; } Instance;
typedef struct { int count; Fault list[MOST_FAULTS]; } Faults;

typedef struct {
    char uuid[96], name[96];
    double idle_w, counted_j, counts;
    int64_t arch, major, minor, cores, clock_mhz, limit_mw, c2c, mig, starts, repeats;
    int64_t energy_period, energy_phase, power_period, power_phase;
    int64_t usage_window, instant_window, average_window, utilisation_period;
    int pieces;
    double watts[MOST_PIECES], joules[MOST_PIECES + 1];
    Time ends[MOST_PIECES + 1];
    int instances, processes;
    Instance instance[MOST_INSTANCES];
    Process process[MOST_PROCESSES];
    Faults faults;
} Gpu;

static Gpu gpus[MOST_GPUS];
static int64_t gpu_count, is_virtual, latency, reload_at;
static Faults library_faults;

static Time virtual_now;
static int users;               /* nvmlInit without its nvmlShutdown */
static unsigned generation;     /* handles of an earlier one are no longer good */
static Time begun_at;
static pid_t begun_by;

static struct { const char *function; long count; } calls[MOST_CALLS];
static long foreign_calls;

/* -- time and power ------------------------------------------------------------------------------------------- */

static Time now(void)
{
    struct timespec t;
    if (is_virtual)
        return virtual_now;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND + t.tv_nsec;
}

/* The driver's time stamps: microseconds of the wall clock; of virtual time itself where time is virtual. */
static uint64_t stamp(Time t)
{
    struct timespec wall;
    if (is_virtual)
        return (uint64_t)(t / 1000);
    clock_gettime(CLOCK_REALTIME, &wall);
    return (uint64_t)((wall.tv_sec * SECOND + wall.tv_nsec - now() + t) / 1000);
}

static Time floor_to(Time t, Time period, Time phase)
{
    if (period <= 0)
        return t;
    Time past = (t - phase) % period;
    return t - (past < 0 ? past + period : past);
}

/* Which piece of the trace holds `t`, counted from the trace's start; `*lap_j` is what the laps before it used. */
static int piece_at(const Gpu *gpu, Time *t, double *lap_j)
{
    Time length = gpu->ends[gpu->pieces];
    *lap_j = 0;
    if (gpu->repeats) {
        *lap_j = (double)(*t / length) * gpu->joules[gpu->pieces];
        *t %= length;
    }
    int low = 0, high = gpu->pieces - 1;
    while (low < high) {
        int middle = (low + high) / 2;
        if (gpu->ends[middle + 1] > *t)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Joules from the trace's start to `t`; negative before it. */
static double joules_at(const Gpu *gpu, Time t)
{
    double lap_j;
    t -= gpu->starts;
    if (t <= 0 || !gpu->pieces)
        return gpu->idle_w * (double)t / SECOND;
    int piece = piece_at(gpu, &t, &lap_j);
    return lap_j + gpu->joules[piece] + gpu->watts[piece] * (double)(t - gpu->ends[piece]) / SECOND;
}

static double watts_at(const Gpu *gpu, Time t)
{
    double lap_j;
    t -= gpu->starts;
    if (t < 0 || !gpu->pieces)
        return gpu->idle_w;
    return gpu->watts[piece_at(gpu, &t, &lap_j)];
}

static unsigned power_mw(const Gpu *gpu, Time window)
{
    Time t = floor_to(now(), gpu->power_period, gpu->power_phase);
    double watts = watts_at(gpu, t);
    if (window > 0)
        watts = (joules_at(gpu, t) - joules_at(gpu, t - window)) * SECOND / (double)window;
    return (unsigned)lround(watts * 1e3);
}

/* The counter as last refreshed. It holds `counted_j` at time zero, and nothing when the driver is loaded anew. */
static unsigned long long energy_mj(const Gpu *gpu)
{
    Time t = floor_to(now(), gpu->energy_period, gpu->energy_phase);
    bool anew = reload_at && now() >= reload_at;
    Time since = anew ? reload_at : 0;
    double used_j = joules_at(gpu, t > since ? t : since) - joules_at(gpu, since);
    return (unsigned long long)(((anew ? 0 : gpu->counted_j) + gpu->counts * used_j) * 1e3);
}

/* -- what every call goes through ------------------------------------------------------------------------------ */

static void count_call(const char *function)
{
    int i = 0;
    while (i < MOST_CALLS - 1 && calls[i].function && strcmp(calls[i].function, function))
        i++;
    calls[i].function = function;
    calls[i].count++;
}

static int fault(const Faults *faults, const char *function)
{
    for (int i = 0; i < faults->count; i++) {
        const Fault *f = &faults->list[i];
        if ((!strcmp(f->function, "*") || !strcmp(f->function, function)) && now() >= f->from && now() < f->until)
            return f->code;
    }
    return OK;
}

static bool is_up(void)
{
    return users > 0 && begun_by == getpid() && !(reload_at && begun_at < reload_at && now() >= reload_at);
}

static int enter(const char *function)
{
    count_call(function);
    if (latency > 0)
        nanosleep(&(struct timespec){latency / SECOND, latency % SECOND}, NULL);
    if (users > 0 && begun_by != getpid())
        foreign_calls++;
    if (!is_up())
        return UNINITIALIZED;
    return fault(&library_faults, function);
}

/* A handle names its generation, its GPU and, from 1, its MIG instance. */
static void *handle_of(int gpu, int instance)
{
    return (void *)((uintptr_t)generation << 32 | (uintptr_t)(gpu + 1) << 8 | (uintptr_t)instance);
}

static int enter_device(const char *function, void *handle, Gpu **gpu, Instance **instance)
{
    uintptr_t bits = (uintptr_t)handle;
    int code = enter(function), index = (int)(bits >> 8 & 0xffff) - 1, part = (int)(bits & 0xff);
    if (code)
        return code;
    if (bits >> 32 != generation || index < 0 || index >= gpu_count || part > gpus[index].instances)
        return INVALID_ARGUMENT;
    *gpu = &gpus[index];
    *instance = part ? &gpus[index].instance[part - 1] : NULL;
    return fault(&gpus[index].faults, function);
}

/* Begins a function about a device; leaves it with the code of whatever is wrong. */
#define DEVICE(handle)                                                                                                \
    Gpu *gpu = NULL;                                                                                                  \
    Instance *instance = NULL;                                                                                        \
    int code = enter_device(__func__, handle, &gpu, &instance);                                                       \
    (void)instance;                                                                                                   \
    if (code)                                                                                                         \
        return code

/* The same for what a MIG instance does not have. */
#define WHOLE_DEVICE(handle)                                                                                          \
    DEVICE(handle);                                                                                                   \
    if (instance)                                                                                                     \
        return NOT_SUPPORTED

#define LIBRARY()                                                                                                     \
    int code = enter(__func__);                                                                                       \
    if (code)                                                                                                         \
        return code

static int text(char *to, unsigned size, const char *from)
{
    return snprintf(to, size, "%s", from) >= (int)size ? INSUFFICIENT_SIZE : OK;
}

/* -- configuration --------------------------------------------------------------------------------------------- */

static void add_fault(Faults *faults, const char *value)
{
    Fault *f = &faults->list[faults->count];
    if (faults->count < MOST_FAULTS
        && sscanf(value, "%63s %d %" SCNd64 " %" SCNd64, f->function, &f->code, &f->from, &f->until) == 4)
        faults->count++;
}

static void add_piece(Gpu *gpu, const char *value)
{
    Time length;
    int n = gpu->pieces;
    if (n < MOST_PIECES && sscanf(value, "%" SCNd64 " %lf", &length, &gpu->watts[n]) == 2) {
        gpu->ends[n + 1] = gpu->ends[n] + length;
        gpu->joules[n + 1] = gpu->joules[n] + gpu->watts[n] * (double)length / SECOND;
        gpu->pieces++;
    }
}

static void add_instance(Gpu *gpu, const char *value)
{
    Instance *i = &gpu->instance[gpu->instances];
    if (gpu->instances < MOST_INSTANCES
        && sscanf(value, "%95s %u %u", i->uuid, &i->gpu_instance, &i->compute_instance) == 3)
        gpu->instances++;
}

static void add_process(Gpu *gpu, const char *value)
{
    Process *p = &gpu->process[gpu->processes];
    if (gpu->processes < MOST_PROCESSES
        && sscanf(value, "%u %u %" SCNd64 " %" SCNd64, &p->pid, &p->sm, &p->from, &p->until) == 4)
        gpu->processes++;
}

#define NUMBER(field) {#field, offsetof(Gpu, field)}
static const struct { const char *key; size_t offset; } NUMBERS[] = {
    NUMBER(arch), NUMBER(major), NUMBER(minor), NUMBER(cores), NUMBER(clock_mhz), NUMBER(limit_mw), NUMBER(c2c),
    NUMBER(mig), NUMBER(starts), NUMBER(repeats), NUMBER(energy_period), NUMBER(energy_phase), NUMBER(power_period),
    NUMBER(power_phase), NUMBER(usage_window), NUMBER(instant_window), NUMBER(average_window),
    NUMBER(utilisation_period),
};

static void configure_gpu(Gpu *gpu, const char *key, const char *value)
{
    if (!strcmp(key, "fault"))
        add_fault(&gpu->faults, value);
    else if (!strcmp(key, "piece"))
        add_piece(gpu, value);
    else if (!strcmp(key, "instance"))
        add_instance(gpu, value);
    else if (!strcmp(key, "process"))
        add_process(gpu, value);
    else if (!strcmp(key, "name"))
        text(gpu->name, sizeof gpu->name, value);
    else if (!strcmp(key, "idle_w"))
        gpu->idle_w = atof(value);
    else if (!strcmp(key, "counted_j"))
        gpu->counted_j = atof(value);
    else if (!strcmp(key, "counts"))
        gpu->counts = atof(value);
    else
        for (size_t i = 0; i < sizeof NUMBERS / sizeof *NUMBERS; i++)
            if (!strcmp(key, NUMBERS[i].key))
                *(int64_t *)((char *)gpu + NUMBERS[i].offset) = atoll(value);
}

static void configure_line(char *line)
{
    char *value = strchr(line, ' ');
    if (!value)
        return;
    *value++ = '\0';
    if (!strcmp(line, "gpu") && gpu_count < MOST_GPUS)
        text(gpus[gpu_count++].uuid, sizeof gpus[0].uuid, value);
    else if (gpu_count)
        configure_gpu(&gpus[gpu_count - 1], line, value);
    else if (!strcmp(line, "fault"))
        add_fault(&library_faults, value);
    else if (!strcmp(line, "virtual"))
        is_virtual = atoll(value);
    else if (!strcmp(line, "latency"))
        latency = atoll(value);
    else if (!strcmp(line, "reload_at"))
        reload_at = atoll(value);
}

/* Forgets everything, and is the machine that the text describes. */
API void fake_nvml_configure(const char *configuration)
{
    char *all = strdup(configuration), *rest = all, *line;
    memset(gpus, 0, sizeof gpus);
    memset(calls, 0, sizeof calls);
    memset(&library_faults, 0, sizeof library_faults);
    gpu_count = is_virtual = latency = reload_at = 0;
    virtual_now = foreign_calls = users = 0;
    while ((line = strsep(&rest, "\n")))
        configure_line(line);
    free(all);
}

__attribute__((constructor)) static void configure_from_file(void)
{
    const char *path = getenv("FAKE_NVML_CONFIG");
    FILE *file = path ? fopen(path, "r") : NULL;
    char *all = NULL;
    size_t size = 0;
    if (!file)
        return;
    if (getdelim(&all, &size, '\0', file) > 0)
        fake_nvml_configure(all);
    free(all);
    fclose(file);
}

/* -- for tests ------------------------------------------------------------------------------------------------- */

API void fake_nvml_set_time(Time t) { virtual_now = t; }

API Time fake_nvml_now(void) { return now(); }

/* What a GPU used between two moments, exactly: no refresh, no window, no rounding. */
API double fake_nvml_truth_j(unsigned gpu, Time from, Time until)
{
    return gpu < gpu_count ? joules_at(&gpus[gpu], until) - joules_at(&gpus[gpu], from) : NAN;
}

API long fake_nvml_calls(const char *function)
{
    for (int i = 0; i < MOST_CALLS && calls[i].function; i++)
        if (!strcmp(calls[i].function, function))
            return calls[i].count;
    return 0;
}

/* Calls that a child made on what its parent had begun. */
API long fake_nvml_foreign_calls(void) { return foreign_calls; }

API int fake_nvml_users(void) { return users; }

/* -- the library ----------------------------------------------------------------------------------------------- */

API int nvmlInitWithFlags(unsigned flags)
{
    (void)flags;
    count_call(__func__);
    int code = fault(&library_faults, __func__);
    if (code)
        return code;
    if (!is_up()) {
        users = 0;
        generation++;
        begun_at = now();
        begun_by = getpid();
    }
    users++;
    return OK;
}

API int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

API int nvmlInit(void) { return nvmlInitWithFlags(0); }

API int nvmlShutdown(void)
{
    LIBRARY();
    users--;
    return OK;
}

API const char *nvmlErrorString(int code)
{
    switch (code) {
    case OK: return "Success";
    case UNINITIALIZED: return "Uninitialized";
    case INVALID_ARGUMENT: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case NOT_FOUND: return "Not Found";
    case INSUFFICIENT_SIZE: return "Insufficient Size";
    default: return "Emulated Error";
    }
}

API int nvmlSystemGetDriverVersion(char *version, unsigned size)
{
    LIBRARY();
    return text(version, size, "580.00.emulated");
}

API int nvmlSystemGetNVMLVersion(char *version, unsigned size)
{
    LIBRARY();
    return text(version, size, "13.580.00.emulated");
}

API int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    LIBRARY();
    *version = 13000;
    return OK;
}

API int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }

API int nvmlDeviceGetCount_v2(unsigned *count)
{
    LIBRARY();
    *count = (unsigned)gpu_count;
    return OK;
}

/* -- finding devices ------------------------------------------------------------------------------------------- */

static void bus_id(int gpu, char *id, unsigned size) { snprintf(id, size, "%08X:%02X:00.0", 0, gpu + 1); }

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    LIBRARY();
    if (index >= gpu_count)
        return INVALID_ARGUMENT;
    *handle = handle_of((int)index, 0);
    return fault(&gpus[index].faults, __func__);
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
    LIBRARY();
    for (int g = 0; g < gpu_count; g++) {
        int part = strcmp(gpus[g].uuid, uuid) ? -1 : 0;
        for (int i = 0; i < gpus[g].instances; i++)
            if (!strcmp(gpus[g].instance[i].uuid, uuid))
                part = i + 1;
        if (part >= 0) {
            *handle = handle_of(g, part);
            return fault(&gpus[g].faults, __func__);
        }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *wanted, void **handle)
{
    LIBRARY();
    for (int g = 0; g < gpu_count; g++) {
        char id[32];
        bus_id(g, id, sizeof id);
        if (!strcasecmp(id, wanted) || !strcasecmp(id + 4, wanted)) {  /* a domain has eight digits, or four */
            *handle = handle_of(g, 0);
            return fault(&gpus[g].faults, __func__);
        }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned size)
{
    DEVICE(handle);
    return text(uuid, size, instance ? instance->uuid : gpu->uuid);
}

API int nvmlDeviceGetIndex(void *handle, unsigned *index)
{
    DEVICE(handle);
    *index = instance ? (unsigned)(instance - gpu->instance) : (unsigned)(gpu - gpus);
    return OK;
}

API int nvmlDeviceGetMinorNumber(void *handle, unsigned *minor)
{
    WHOLE_DEVICE(handle);
    *minor = (unsigned)(gpu - gpus);
    return OK;
}

API int nvmlDeviceGetName(void *handle, char *name, unsigned size)
{
    DEVICE(handle);
    return text(name, size, gpu->name);
}

typedef struct {
    char legacy_id[16];
    unsigned domain, bus, device, device_id, subsystem_id;
    char id[32];
} PciInfo;

API int nvmlDeviceGetPciInfo_v3(void *handle, PciInfo *info)
{
    WHOLE_DEVICE(handle);
    memset(info, 0, sizeof *info);
    info->bus = (unsigned)(gpu - gpus) + 1;
    info->device_id = 0x233010DE;
    bus_id((int)(gpu - gpus), info->id, sizeof info->id);
    memcpy(info->legacy_id, info->id + 4, 12);
    return OK;
}

/* -- MIG ------------------------------------------------------------------------------------------------------- */

API int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending)
{
    WHOLE_DEVICE(handle);
    if (gpu->arch < 7)
        return NOT_SUPPORTED;
    *current = *pending = (unsigned)gpu->mig;
    return OK;
}

API int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count)
{
    WHOLE_DEVICE(handle);
    *count = gpu->mig ? MOST_INSTANCES : 0;
    return OK;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **part)
{
    WHOLE_DEVICE(handle);
    if ((int)index >= gpu->instances)
        return NOT_FOUND;
    *part = handle_of((int)(gpu - gpus), (int)index + 1);
    return OK;
}

API int nvmlDeviceIsMigDeviceHandle(void *handle, unsigned *is_part)
{
    DEVICE(handle);
    *is_part = instance != NULL;
    return OK;
}

API int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(void *handle, void **parent)
{
    DEVICE(handle);
    *parent = handle_of((int)(gpu - gpus), 0);
    return instance ? OK : INVALID_ARGUMENT;
}

API int nvmlDeviceGetGpuInstanceId(void *handle, unsigned *id)
{
    DEVICE(handle);
    if (!instance)
        return NOT_SUPPORTED;
    *id = instance->gpu_instance;
    return OK;
}

API int nvmlDeviceGetComputeInstanceId(void *handle, unsigned *id)
{
    DEVICE(handle);
    if (!instance)
        return NOT_SUPPORTED;
    *id = instance->compute_instance;
    return OK;
}

/* -- what a device is ------------------------------------------------------------------------------------------ */

#define TELLS(function, type, value)                                                                                  \
    API int function(void *handle, type *answer)                                                                      \
    {                                                                                                                 \
        WHOLE_DEVICE(handle);                                                                                         \
        *answer = (type)(value);                                                                                      \
        return OK;                                                                                                    \
    }

TELLS(nvmlDeviceGetArchitecture, unsigned, gpu->arch)
TELLS(nvmlDeviceGetNumGpuCores, unsigned, gpu->cores)
TELLS(nvmlDeviceGetEnforcedPowerLimit, unsigned, gpu->limit_mw)
TELLS(nvmlDeviceGetPowerManagementLimit, unsigned, gpu->limit_mw)
TELLS(nvmlDeviceGetPowerManagementDefaultLimit, unsigned, gpu->limit_mw)
TELLS(nvmlDeviceGetComputeMode, int, 0)
TELLS(nvmlDeviceGetPersistenceMode, int, 1)

API int nvmlDeviceGetPowerManagementLimitConstraints(void *handle, unsigned *least, unsigned *most)
{
    WHOLE_DEVICE(handle);
    *least = (unsigned)(gpu->limit_mw / 4);
    *most = (unsigned)gpu->limit_mw;
    return OK;
}

API int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
    DEVICE(handle);
    *major = (int)gpu->major;
    *minor = (int)gpu->minor;
    return OK;
}

API int nvmlDeviceGetMaxClockInfo(void *handle, int domain, unsigned *mhz)
{
    (void)domain;
    WHOLE_DEVICE(handle);
    *mhz = (unsigned)gpu->clock_mhz;
    return OK;
}

API int nvmlDeviceGetC2cModeInfoV(void *handle, unsigned *is_enabled)
{
    WHOLE_DEVICE(handle);
    *is_enabled = 1;
    return gpu->c2c ? OK : NOT_SUPPORTED;
}

API int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *total_free_used)
{
    DEVICE(handle);
    total_free_used[0] = 80ULL << 30;
    total_free_used[1] = 72ULL << 30;
    total_free_used[2] = 8ULL << 30;
    return OK;
}

API int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius)
{
    (void)sensor;
    WHOLE_DEVICE(handle);
    *celsius = 50;
    return OK;
}

/* -- what a device does ---------------------------------------------------------------------------------------- */

TELLS(nvmlDeviceGetPowerUsage, unsigned, power_mw(gpu, gpu->usage_window))
TELLS(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, energy_mj(gpu))

typedef struct {
    uint32_t id, scope;
    int64_t stamp_us, latency_us;
    int type, code;
    union { double d; unsigned u; unsigned long long ull; } value;
} Field;

enum { FIELD_TOTAL_ENERGY = 83, FIELD_POWER_AVERAGE = 185, FIELD_POWER_INSTANT = 186, FIELD_POWER_LIMIT = 190,
       FIELD_ENERGY = 191, SCOPE_GPU = 0, SCOPE_MODULE = 1, TYPE_UNSIGNED = 1, TYPE_UNSIGNED_LONG_LONG = 3 };

static int fill(const Gpu *gpu, Field *field)
{
    char name[16];
    snprintf(name, sizeof name, "%u", field->id);
    field->type = TYPE_UNSIGNED;
    field->value.ull = 0;
    if (field->scope != SCOPE_GPU && !(field->scope == SCOPE_MODULE && gpu->c2c))
        return NOT_SUPPORTED;
    switch (field->id) {
    case FIELD_POWER_AVERAGE: field->value.u = power_mw(gpu, gpu->average_window); break;
    case FIELD_POWER_INSTANT: field->value.u = power_mw(gpu, gpu->instant_window); break;
    case FIELD_POWER_LIMIT: field->value.u = (unsigned)gpu->limit_mw; break;
    case FIELD_TOTAL_ENERGY:
    case FIELD_ENERGY:
        field->type = TYPE_UNSIGNED_LONG_LONG;
        field->value.ull = energy_mj(gpu);
        break;
    default: return NOT_SUPPORTED;
    }
    return fault(&gpu->faults, name);
}

API int nvmlDeviceGetFieldValues(void *handle, int count, Field *fields)
{
    WHOLE_DEVICE(handle);
    for (int i = 0; i < count; i++) {
        fields[i].stamp_us = (int64_t)stamp(now());
        fields[i].latency_us = 0;
        fields[i].code = fill(gpu, &fields[i]);
    }
    return OK;
}

/* -- who uses a device ----------------------------------------------------------------------------------------- */

static bool lives(const Process *p) { return now() >= p->from && now() < p->until; }

API int nvmlDeviceGetUtilizationRates(void *handle, unsigned *gpu_and_memory)
{
    WHOLE_DEVICE(handle);
    unsigned sum = 0;
    for (int i = 0; i < gpu->processes; i++)
        sum += lives(&gpu->process[i]) ? gpu->process[i].sm : 0;
    gpu_and_memory[0] = sum < 100 ? sum : 100;
    gpu_and_memory[1] = gpu_and_memory[0] / 2;
    return OK;
}

typedef struct { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; } ProcessInfo;

API int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, ProcessInfo *infos)
{
    DEVICE(handle);
    unsigned room = infos ? *count : 0, found = 0;
    for (int i = 0; i < gpu->processes; i++)
        if (lives(&gpu->process[i]) && found++ < room)
            infos[found - 1] = (ProcessInfo){gpu->process[i].pid, 4ULL << 30, ~0u, ~0u};
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}

API int nvmlDeviceGetGraphicsRunningProcesses_v3(void *handle, unsigned *count, ProcessInfo *infos)
{
    (void)infos;
    DEVICE(handle);
    *count = 0;
    return OK;
}

typedef struct { unsigned pid, sm; unsigned long long stamp_us; } Use;

/* Mean utilisation of each process that ran anything since `last_us`, up to the newest refresh. */
static int uses(const Gpu *gpu, unsigned long long last_us, Use *found)
{
    Time until = floor_to(now(), gpu->utilisation_period, 0);
    Time lag = (Time)(stamp(until) - last_us) * 1000, since = last_us ? until - lag : until - SECOND;
    int count = 0;
    for (int i = 0; until > since && i < gpu->processes; i++) {
        const Process *p = &gpu->process[i];
        Time from = p->from > since ? p->from : since, to = p->until < until ? p->until : until;
        if (to > from && p->sm)
            found[count++] = (Use){p->pid, (unsigned)lround((double)p->sm * (to - from) / (until - since)), stamp(until)};
    }
    return count;
}

typedef struct { unsigned pid; unsigned long long stamp_us; unsigned sm, memory, encoder, decoder; } OldUse;

API int nvmlDeviceGetProcessUtilization(void *handle, OldUse *out, unsigned *count, unsigned long long last_us)
{
    WHOLE_DEVICE(handle);
    Use found[MOST_PROCESSES];
    unsigned room = out ? *count : 0, number = (unsigned)uses(gpu, last_us, found);
    if (gpu->mig)
        return NOT_SUPPORTED;
    *count = number;
    if (!number)
        return NOT_FOUND;
    if (number > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < number; i++)
        out[i] = (OldUse){found[i].pid, found[i].stamp_us, found[i].sm, found[i].sm / 2, 0, 0};
    return OK;
}

typedef struct {
    unsigned long long stamp_us;
    unsigned pid, sm, memory, encoder, decoder, jpeg, optical_flow;
} NewUse;
typedef struct { unsigned version, count; unsigned long long last_us; NewUse *uses; } Uses;

API int nvmlDeviceGetProcessesUtilizationInfo(void *handle, Uses *out)
{
    WHOLE_DEVICE(handle);
    Use found[MOST_PROCESSES];
    unsigned room = out->uses ? out->count : 0, number = (unsigned)uses(gpu, out->last_us, found);
    if (gpu->mig)
        return NOT_SUPPORTED;
    out->count = number;
    if (!number)
        return NOT_FOUND;
    if (number > room)
        return INSUFFICIENT_SIZE;
    for (unsigned i = 0; i < number; i++)
        out->uses[i] = (NewUse){found[i].stamp_us, found[i].pid, found[i].sm, found[i].sm / 2, 0, 0, 0, 0};
    return OK;
}
